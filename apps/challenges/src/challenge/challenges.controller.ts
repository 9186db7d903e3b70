import { Body, Controller, Get, Param, Patch, Post, Query } from '@nestjs/common';
import {
  ApiBadRequestResponse,
  ApiCreatedResponse,
  ApiNotFoundResponse,
  ApiOkResponse,
  ApiTags,
} from '@nestjs/swagger';
import { Page } from '../input/page.js';
import { Challenge } from './challenge.entity.js';
import { ChallengeId, ChangeChallenge, CreateChallenge, Donate } from './challenge.input.js';
import { ChallengesService } from './challenges.service.js';

@ApiTags('challenges')
@ApiBadRequestResponse({ description: 'Names the fields that are wrong' })
@Controller('challenges')
export class ChallengesController {
  constructor(private readonly challenges: ChallengesService) {}

  /** The challenges, newest first. */
  @ApiOkResponse({ type: [Challenge] })
  @Get()
  list(@Query() page: Page): Promise<Challenge[]> {
    return this.challenges.list(page);
  }

  @ApiCreatedResponse({ type: Challenge })
  @Post()
  create(@Body() input: CreateChallenge): Promise<Challenge> {
    return this.challenges.create(input);
  }

  @ApiOkResponse({ type: Challenge })
  @ApiNotFoundResponse()
  @Patch(':id')
  change(@Param() { id }: ChallengeId, @Body() input: ChangeChallenge): Promise<Challenge> {
    return this.challenges.change(id, input);
  }

  /** Answers with the challenge and all its donations. */
  @ApiCreatedResponse({ type: Challenge })
  @ApiNotFoundResponse()
  @Post(':id/donations')
  donate(@Param() { id }: ChallengeId, @Body() input: Donate): Promise<Challenge> {
    return this.challenges.donate(id, input);
  }
}

import { Controller, Get, HttpCode, Post, Query } from '@nestjs/common';
import { ApiBadRequestResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { SparkService } from 'nestjs-spark';
import type { SweepReport } from 'nestjs-spark';
import { Page } from '../input/page.js';
import { EventRecord } from './event-record.js';
import { EventRecords } from './event-records.js';

@ApiTags('events')
@Controller()
export class LedgerController {
  constructor(
    private readonly spark: SparkService,
    private readonly records: EventRecords,
  ) {}

  /** The events, newest first, each with its deliveries. */
  @ApiOkResponse({ type: [EventRecord] })
  @ApiBadRequestResponse({ description: 'Names the parameters that are wrong' })
  @Get('events')
  events(@Query() page: Page): Promise<EventRecord[]> {
    return this.records.list(page);
  }

  /** Looks through all challenges now, instead of waiting for the schedule. */
  @ApiOkResponse({ description: 'How many challenges were read, and how many new events were entered' })
  @HttpCode(200)
  @Post('sweep')
  sweep(): Promise<SweepReport> {
    return this.spark.sweep();
  }
}

import { Controller, Get, HttpCode, Post, Query } from '@nestjs/common';
import { ApiBadRequestResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { SparkService } from 'nestjs-spark';
import type { SweepReport } from 'nestjs-spark';
import { EventRecords } from './event-records.js';
import { EventsQuery } from './events-query.js';
import { ListedEvents } from './listed-event.js';

@ApiTags('events')
@Controller()
export class LedgerController {
  constructor(
    private readonly spark: SparkService,
    private readonly records: EventRecords,
  ) {}

  /** The events, newest first, each with its deliveries. */
  @ApiOkResponse({ type: ListedEvents })
  @ApiBadRequestResponse({ description: 'Names the parameters that are wrong' })
  @Get('events')
  events(@Query() query: EventsQuery): Promise<ListedEvents> {
    return this.records.list(query);
  }

  /** Goes through all challenges now, instead of waiting for the schedule. */
  @ApiOkResponse({ description: 'How many challenges were read, and how many new events were entered' })
  @HttpCode(200)
  @Post('sweep')
  sweep(): Promise<SweepReport> {
    return this.spark.sweep();
  }
}

import { ApiPropertyOptional, PickType } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { Page } from '../input/page.js';

/** Which part of the list of events is wanted. */
export class EventsQuery extends PickType(Page, ['limit']) {
  @ApiPropertyOptional({ description: 'The `next` of the page before' })
  @IsOptional()
  @Matches(/^\d+$/)
  after?: string;
}

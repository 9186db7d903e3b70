import { Injectable } from '@nestjs/common';
import { addDays } from 'date-fns';
import { EventSource } from 'nestjs-spark';
import { supporterJoined, supporterYear } from './supporter.definitions.js';
import { Supporter } from './supporter.entity.js';

/** Says what is true of a supporter: that somebody has joined, and each year that has passed since. */
@Injectable()
export class SupporterEvents {
  @EventSource(Supporter)
  *events(supporter: Supporter) {
    const { id, joined } = supporter;
    yield supporterJoined(id, { supporter });
    yield supporterYear(id, { supporter }, { every: '365d', from: addDays(joined, 365) });
  }
}

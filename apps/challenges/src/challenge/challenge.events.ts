import { Injectable } from '@nestjs/common';
import { addDays, subDays } from 'date-fns';
import { EventSource, sparkEvent } from 'nestjs-spark';
import type { SourceScope } from 'nestjs-spark';
import { Challenge } from './challenge.entity.js';

/** Says what is true of a challenge. Each of it becomes an event once, however often this is asked. */
@Injectable()
export class ChallengeEvents {
  @EventSource(Challenge, { relations: { donations: true } })
  *events(challenge: Challenge, { now }: SourceScope) {
    if (!challenge.isActive) return;
    const { id, startDate, endDate, donations } = challenge;
    const context = { challenge };
    yield sparkEvent('challenge_created', id, context);
    if (now >= endDate) {
      yield sparkEvent('challenge_ended', id, context);
      return;
    }
    if (donations.length < 2 && now >= addDays(startDate, 2)) yield sparkEvent('challenge_inactivity_2d', id, context);
    if (now >= subDays(endDate, 2)) yield sparkEvent('challenge_ends_2d', id, context);
  }
}

import { Injectable } from '@nestjs/common';
import { addDays, subDays } from 'date-fns';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Challenge } from './challenge.entity.js';

/** Says what is true of a challenge, and when. Each of it becomes an event once, however often this is asked. */
@Injectable()
export class ChallengeEvents {
  @EventSource(Challenge, { relations: { donations: true } })
  *events(challenge: Challenge) {
    if (!challenge.isActive) return;
    const { id, startDate, endDate, donations } = challenge;
    const context = { challenge };
    yield sparkEvent('challenge_created', id, context);
    if (donations.length < 2 && addDays(startDate, 2) < endDate)
      yield sparkEvent('challenge_inactivity_2d', id, context, { at: addDays(startDate, 2), until: endDate });
    yield sparkEvent('challenge_ends_2d', id, context, { at: subDays(endDate, 2), until: endDate });
    yield sparkEvent('challenge_ended', id, context, { at: endDate });
  }
}

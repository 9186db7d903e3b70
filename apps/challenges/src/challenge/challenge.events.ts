import { Injectable } from '@nestjs/common';
import { addDays, subDays } from 'date-fns';
import { EventSource } from 'nestjs-spark';
import {
  challengeAtGoal,
  challengeCreated,
  challengeEnded,
  challengeEndsSoon,
  challengeInactive,
  challengeWeek,
} from './challenge.definitions.js';
import { Challenge, raisedBy } from './challenge.entity.js';

/** Says what is true of a challenge, and when. Each of it becomes an event once, however often this is asked. */
@Injectable()
export class ChallengeEvents {
  @EventSource(Challenge, { relations: { donations: true }, trueFor: true })
  *events(challenge: Challenge) {
    if (!challenge.isActive) return;
    const { id, startDate, endDate, donations, goal } = challenge;
    const context = { challenge };
    yield challengeCreated(id, context);
    if (donations.length < 2 && addDays(startDate, 2) < endDate)
      yield challengeInactive(id, context, { at: addDays(startDate, 2) });
    const firstWeek = addDays(startDate, 7);
    if (firstWeek < endDate) yield challengeWeek(id, context, { every: '7d', from: firstWeek });
    if (goal !== null && raisedBy(challenge) >= goal)
      yield challengeAtGoal(id, context, { trueFor: '1d', occurrence: goal });
    yield challengeEndsSoon(id, context, { at: subDays(endDate, 2) });
    yield challengeEnded(id, context, { at: endDate });
  }
}

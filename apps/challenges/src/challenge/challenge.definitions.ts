import { defineEvent } from 'nestjs-spark';
import type { Challenge } from './challenge.entity.js';

const challengeEvent = defineEvent<{ challenge: Challenge }>();
const endOf = ({ challenge }: { challenge: Challenge }): Date => challenge.endDate;

export const challengeCreated = challengeEvent('challenge_created');
export const challengeInactive = challengeEvent('challenge_inactivity_2d', { until: endOf });
export const challengeWeek = challengeEvent('challenge_week', { until: endOf });
export const challengeEndsSoon = challengeEvent('challenge_ends_2d', { until: endOf });
export const challengeAtGoal = challengeEvent('challenge_goal_1d', { until: endOf });
export const challengeEnded = challengeEvent('challenge_ended');

import { defineEvent } from 'nestjs-spark';
import type { Supporter } from './supporter.entity.js';

const supporterEvent = defineEvent<{ supporter: Supporter }>();

export const supporterJoined = supporterEvent('supporter_joined');
export const supporterYear = supporterEvent('supporter_year');

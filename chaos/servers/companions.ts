import type { CompanionName } from '../faults.js';
import type { Companion } from './companion.js';
import { startRabbitmq } from './rabbitmq.js';
import { startRedis } from './redis.js';

const STARTS: Record<CompanionName, () => Promise<Companion>> = { bullmq: startRedis, rabbitmq: startRabbitmq };

export const launchCompanion = (name: CompanionName): Promise<Companion> => STARTS[name]();

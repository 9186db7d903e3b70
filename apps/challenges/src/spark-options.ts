import { CronExpression } from '@nestjs/schedule';
import type { SparkModuleOptions } from 'nestjs-spark';
import { BullMQCarrier } from 'nestjs-spark-bullmq';
import type { Settings } from './settings.js';

/** What Spark does in a process: all of it, or the part of its role in a cluster. */
export function sparkOptions({ role, redisUrl }: Settings): SparkModuleOptions {
  const activation = { limit: 100 };
  const sweep = { cron: CronExpression.EVERY_HOUR };
  if (role === 'all') return { activation, sweep };
  if (role === 'web') return { activation, worker: false };
  const carrier = new BullMQCarrier({ connection: redisUrl, queue: { name: 'challenges' }, roles: [role] });
  return { activation, worker: { carrier }, ...(role === 'dispatch' && { sweep }) };
}

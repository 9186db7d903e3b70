import 'reflect-metadata';
import { sparkEvent } from 'nestjs-spark';
import { BullMQCarrier } from 'nestjs-spark-bullmq';
import { setTimeout as delay } from 'node:timers/promises';
import { handleUntilMessage } from './handling-process.js';
import { Row } from './row.entity.js';
import { RowSource, rowSource } from './row-source.js';

const { bullmq, pause, ...database } = JSON.parse(process.argv[2]!);

/** A process that never sweeps, and tells which rows it has read for others. */
rowSource.run = async (rows) => {
  process.send?.({ read: rows.map(({ id }) => id) });
  await delay(pause);
  return rows.map(({ id }) => sparkEvent('row', id));
};
const worker = { carrier: new BullMQCarrier({ ...bullmq, roles: ['work'] }) };
handleUntilMessage(database, { entities: [Row], providers: [RowSource], worker });

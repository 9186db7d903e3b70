import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { contestant } from './contestant.js';

/** Something that happened to an order, at a time of the machine's own clock, which all processes share, in ms. */
export interface Timestamp {
  readonly id: number;
  readonly what: 'committed' | 'handled';
  readonly at: number;
}

// Saves orders now and then, or handles them, or both, and says when.
const [name, url, count, role] = process.argv.slice(2) as [string, string, string, 'saves' | 'works' | 'both'];
const timestamps: Timestamp[] = [];
const record = (id: number, what: Timestamp['what']) =>
  timestamps.push({ id, what, at: Number(process.hrtime.bigint()) / 1e6 });

const app = await contestant(name, url, role !== 'saves', (id) => record(id, 'handled'));
async function save(): Promise<void> {
  for (let i = 0; i < Number(count); i++) {
    record(await app.save(), 'committed');
    // Longer than anybody takes, and never in step with what polls.
    await delay(20 + Math.random() * 30);
  }
  process.send!('saved');
}

async function end(): Promise<void> {
  process.send!(timestamps);
  await app.close();
  process.exit();
}

process.on('message', (message) => void (message === 'begin' ? save() : end()));
process.send!('ready');

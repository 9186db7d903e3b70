import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { NextNotCalledError } from '../error/next-not-called.error.js';
import { nested } from './around.js';

type Next = () => Promise<void>;
const within = (...hooks: ((call: string, next: Next) => unknown)[]) =>
  nested<string>(
    hooks.map((call, i) => ({ where: `Hook.${i}`, call: call as (call: string, next: Next) => Promise<unknown> })),
  )!;

it('a hook that returns the promise of next() adds none of its own', () => {
  const work = Promise.resolve();
  const around = within(
    (_, next) => next(),
    (_, next) => next(),
  );
  expect(around('call', () => work)).toBe(work);
});

it('hooks nest in their order, and the work runs once', async () => {
  const log: string[] = [];
  const logged = (name: string) => async (call: string, next: Next) => {
    log.push(`${name} ${call}`);
    await Promise.all([next(), next()]);
    log.push(`${name} after`);
  };
  await within(logged('outer'), logged('inner'))('call', async () => void log.push('work'));
  expect(log).toEqual(['outer call', 'inner call', 'work', 'inner after', 'outer after']);
});

it.each([
  ['waits', async (_: string, next: Next) => next()],
  ['does not wait', async (_: string, next: Next) => void next().catch(() => undefined)],
  ['ignores the promise', (_: string, next: Next) => void next()],
  [
    'calls it later',
    async (_: string, next: Next) => {
      await delay(5);
      void next();
    },
  ],
])('the work has ended, and its error is not lost, where a hook %s', async (_, hook) => {
  let hasEnded = false;
  const failing = async () => {
    await delay(20);
    hasEnded = true;
    throw new RangeError('of the work');
  };
  await expect(within(hook)('call', failing)).rejects.toThrow('of the work');
  expect(hasEnded).toBe(true);
});

it.each([
  ['rejects', (_: string, next: Next) => next().then(() => Promise.reject(new Error('of the hook')))],
  [
    'throws at once',
    (_: string, next: Next) => {
      void next();
      throw new Error('of the hook');
    },
  ],
])('the error of a hook that %s comes after the work has ended', async (_, hook) => {
  let hasEnded = false;
  const work = async () => {
    await delay(20);
    hasEnded = true;
  };
  await expect(within(hook)('call', work)).rejects.toThrow('of the hook');
  expect(hasEnded).toBe(true);
});

it('a hook must call next() before it ends', async () => {
  let late: Next | undefined;
  const around = within(async (_, next) => void (late = next));
  await expect(around('call', async () => undefined)).rejects.toThrow(NextNotCalledError);
  await expect(late!()).rejects.toThrow(NextNotCalledError);
});

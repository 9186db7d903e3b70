import { setImmediate } from 'node:timers/promises';

// Less than anybody notices who waits for a timer, and long enough to cost nothing. In milliseconds.
const LONGEST = 10;

let last = performance.now();
let turn: Promise<void> | undefined;

/** Whether this process has worked for so long that timers and sockets have to have their turn. */
export const isBreathless = (): boolean => performance.now() - last > LONGEST;

/**
 * Lets timers and sockets have their turn, where they have waited for long: SQLite and sources keep the process busy. All who wait
 * go on together: who is one of many asks again, `while (isBreathless()) await breathe()`.
 */
export async function breathe(): Promise<void> {
  if (isBreathless()) await (turn ??= nextTurn());
}

async function nextTurn(): Promise<void> {
  await setImmediate();
  turn = undefined;
  last = performance.now();
}

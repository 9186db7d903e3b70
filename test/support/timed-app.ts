import { Injectable, type Type } from '@nestjs/common';
import { GroupHandler, type SparkEvent } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { startApp, type TestApp, type TestAppOptions } from './app.js';
import type { QueryLog } from './query-log.js';

/** What a handler of {@link letters} has noted. */
export interface Letters {
  /** The keys of its events, with how late they were. */
  readonly handled: string[];
  /** Whether it fails, on purpose. */
  fails: boolean;
}

/**
 * A class with a handler of all events.
 *
 * @param pause how long it waits after it failed, in milliseconds
 * @param unit how it says how late an event was, and how many milliseconds that is: `['d', DAY]`
 */
export function letters(pause: number, [unit, length]: readonly [string, number]): Type<Letters> {
  @Injectable()
  class Handlers implements Letters {
    readonly handled: string[] = [];
    fails = false;

    constructor(private readonly clock: TestClock) {}

    @GroupHandler(/./, { name: 'letters', revalidate: true, backoff: () => pause })
    handle({ key, at }: SparkEvent) {
      if (this.fails) throw new Error('on purpose');
      const late = this.clock.now() - at!.getTime();
      this.handled.push(late === 0 ? key : `${key} late by ${late / length} ${unit}`);
    }
  }
  return Handlers;
}

/** An application at a TestClock, with the kit that moves it. */
export interface TimedApp {
  readonly app: TestApp;
  readonly kit: SparkTestKit;
}

/** Starts an application at a TestClock, which its providers may ask for. The log gets its statements. */
export async function startTimed(
  { providers = [], ...rest }: TestAppOptions & { readonly clock: TestClock },
  log: QueryLog,
): Promise<TimedApp> {
  const dataSource = { logging: true, logger: log };
  const clock = { provide: TestClock, useValue: rest.clock };
  const app = await startApp({ ...rest, providers: [clock, ...providers], dataSource });
  return { app, kit: new SparkTestKit(app.app) };
}

/** When rechecks are due, in units of time after an instant. */
export async function dues({ dataSource }: TestApp, start: number, unit: number): Promise<number[]> {
  const rows: { due_at: string }[] = await dataSource.query('SELECT due_at FROM spark_recheck ORDER BY due_at');
  return rows.map(({ due_at: due }) => (Number(due) - start) / unit);
}

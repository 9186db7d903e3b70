import { InvalidOptionsError } from 'nestjs-spark';
import { describe, expect, it } from 'vitest';
import type { BullMQCarrierOptions } from './bullmq.options.js';
import { settingsOf } from './settings.js';

const connection = 'redis://127.0.0.1:6379';

describe('options of the carrier', () => {
  it('have defaults', () => {
    expect(settingsOf({ connection })).toMatchObject({
      connection: { url: connection },
      prefix: 'bull',
      dispatches: true,
      works: true,
      ttl: 60_000,
      fallback: 'local',
      sweeps: 'spark-sweeps',
      queues: [{ name: 'spark', idsPerJob: 50, window: 1_000, rateLimit: undefined, globalConcurrency: undefined }],
    });
  });

  it('give a handler to the first queue that matches, and all others to the queue without a pattern', () => {
    const { queues } = settingsOf({
      connection,
      queues: [{ name: 'mails', handlers: /-mails$/g }],
      queue: { name: 'rest' },
    });
    const queueOf = (handler: string) => queues.find(({ isFor }) => isFor(handler))!.name;

    // Twice, because a pattern with the flag g would remember where it has matched.
    expect(['a-mails', 'b-mails', 'search'].map(queueOf)).toEqual(['mails', 'mails', 'rest']);
  });

  it('put one delivery into a job where the queue has a limit, and wait for a Redis that is away', () => {
    const { queues, fallback } = settingsOf({ connection, queue: { rateLimit: { max: 5, per: '1s' } } });

    expect(queues[0]).toMatchObject({ idsPerJob: 1, rateLimit: { max: 5, duration: 1_000 } });
    expect(fallback).toBe('wait');
  });

  it('let no more be on its way than a rate lets begin in half of ttl', () => {
    const windowOf = (max: number) =>
      settingsOf({ connection, queue: { rateLimit: { max, per: '1s' } } }).queues[0]!.window;

    expect([windowOf(5), windowOf(1_000)]).toEqual([150, 1_000]);
  });

  it.each<[object, RegExp]>([
    [{}, /connection/],
    [{ connection: 'localhost' }, /connection.*redis:\/\//],
    [{ connection: { keyPrefix: 'x' } }, /keyPrefix/],
    [{ connection, roles: [] }, /roles/],
    [{ connection, roles: ['sweep'] }, /roles/],
    [{ connection, ttl: 'soon' }, /ttl/],
    [{ connection, window: 0 }, /window/],
    [{ connection, idsPerJob: 1.5 }, /idsPerJob/],
    [{ connection, fallback: 'none' }, /fallback/],
    [{ connection, queue: { name: 'a:b' } }, /queue\.name/],
    [{ connection, queue: { limiter: {} } }, /queue\.limiter.*rateLimit/],
    [{ connection, queue: { rateLimit: { max: 5 } } }, /rateLimit\.per/],
    [{ connection, queues: [{ name: 'mails' }] }, /queues\[0\]\.handlers/],
    [{ connection, queues: [{ name: 'spark', handlers: /./ }] }, /another name/],
    [{ connection, queues: [{ name: 'spark-sweeps', handlers: /./ }] }, /another name/],
    [{ connection, conncurrency: 5 }, /conncurrency/],
  ])('are refused: %j', (options, words) => {
    const parse = () => settingsOf(options as BullMQCarrierOptions);
    expect(parse).toThrow(InvalidOptionsError);
    expect(parse).toThrow(words);
  });

  it('are refused without a password in the message', () => {
    expect(() => settingsOf({ connection: 'http://me:secret@host' })).not.toThrow(/secret/);
    expect(() => settingsOf({ connection: 'http://me:secret@host' })).toThrow(/connection/);
  });
});

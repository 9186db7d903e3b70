import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { localAccess } from './local-access.js';

const from = (remoteAddress: string | undefined, host: string | undefined) =>
  localAccess({ socket: { remoteAddress } as IncomingMessage['socket'], headers: { host } });

describe('the dashboard of the demo', () => {
  it.each([
    ['127.0.0.1', 'localhost:3000'],
    ['::1', '[::1]:3000'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
  ])('is open to %s, which asks %s', (address, host) => {
    expect(from(address, host)).toBe('all');
  });

  it.each([
    ['192.168.0.7', 'localhost:3000'],
    ['::ffff:10.0.0.1', 'localhost:3000'],
    [undefined, 'localhost:3000'],
    ['127.0.0.1', 'rebound.example.org:3000'],
    ['127.0.0.1', 'localhost.example.org'],
    ['127.0.0.1', undefined],
  ])('is closed to %s, which asks %s', (address, host) => {
    expect(from(address, host)).toBe(false);
  });
});

import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { confirm, mustBeAnswerable } from './confirm.js';
import type { Streams } from './output.js';

function streams(isTTY = true) {
  const stream = () => Object.assign(new PassThrough(), { isTTY });
  return { stdin: stream(), stdout: stream(), stderr: stream() } as unknown as Streams & { stdin: PassThrough };
}

describe('a question at a terminal', () => {
  const { signal } = new AbortController();

  it.each(['y', 'yes', ' Y '])('goes on after %s', async (answer) => {
    const given = streams();
    given.stdin.write(`${answer}\n`);
    await expect(confirm(given, 'Discard 3 deliveries?', signal)).resolves.toBeUndefined();
    expect(String(given.stderr.read())).toContain('Discard 3 deliveries? [y/N] ');
  });

  it.each(['', 'n', 'yellow'])('changes nothing after %j', async (answer) => {
    const given = streams();
    given.stdin.write(`${answer}\n`);
    await expect(confirm(given, 'Discard?', signal)).rejects.toThrow('Nothing was changed.');
  });

  it('changes nothing at the end of the input, and after a signal', async () => {
    const ended = streams();
    ended.stdin.end();
    await expect(confirm(ended, 'Discard?', signal)).rejects.toThrow('Nothing was changed.');
    const controller = new AbortController();
    const asked = confirm(streams(), 'Discard?', controller.signal);
    controller.abort();
    await expect(asked).rejects.toThrow(/abort/i);
  });

  it('is not asked where there is no terminal', () => {
    expect(() => mustBeAnswerable(streams(false), 'discard')).toThrow(/discard needs --yes/);
    expect(() => mustBeAnswerable(streams(), 'discard')).not.toThrow();
  });
});

import { ConsoleLogger, Logger, type LoggerService } from '@nestjs/common';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SparkLog } from './spark-log.js';

/** What nestjs-pino's Logger makes of its arguments: it merges an object that comes first, and drops one that follows a text. */
class PinoLike implements LoggerService {
  readonly lines: object[] = [];
  log = (...given: unknown[]) => this.call('info', given);
  warn = (...given: unknown[]) => this.call('warn', given);
  error = (...given: unknown[]) => this.call('error', given);

  private call(level: string, [message, ...rest]: unknown[]): void {
    const context = rest.pop();
    if (typeof message === 'object') this.lines.push({ level, context, ...message, msg: rest[0] });
    else this.lines.push({ level, context, msg: message });
  }

  isWrongExceptionsHandlerContract(): boolean {
    return false;
  }
}

/** All that is printed while work runs. */
function printed(work: () => void): string {
  const parts: string[] = [];
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, 'write').mockImplementation((part) => parts.push(String(part)) > 0);
  try {
    work();
  } finally {
    vi.restoreAllMocks();
  }
  return parts.join('');
}

describe('what Spark logs', () => {
  const log = new SparkLog();
  const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED', query: 'SELECT secret' });
  const error = new TypeError('not sent', { cause });
  const say = () => log.error('It failed: not sent', { handler: 'mails', attempt: 2, error });

  afterEach(() => Logger.overrideLogger(new ConsoleLogger()));

  it('is text alone on the console logger of Nest', () => {
    for (const logger of [new ConsoleLogger(), new ConsoleLogger({ colors: true }), new Logger()]) {
      Logger.overrideLogger(logger);
      const plain = printed(() => new Logger('Spark').error('It failed: not sent'));
      const without = (text: string) => text.replaceAll(/\d+/g, '#');
      expect(without(printed(say))).toBe(without(plain));
      expect(printed(say)).toContain('It failed: not sent');
      expect(printed(say)).not.toMatch(/mails|refused/);
    }
  });

  it('has its object beside the text on the JSON logger of Nest, also flat', () => {
    Logger.overrideLogger(new ConsoleLogger({ json: true }));
    const line = JSON.parse(printed(say));
    expect(line).toMatchObject({
      level: 'error',
      context: 'Spark',
      message: 'It failed: not sent',
      params: {
        handler: 'mails',
        attempt: 2,
        error: {
          name: 'TypeError',
          message: 'not sent',
          stack: expect.stringContaining('spark-log.spec'),
          causes: [{ name: 'Error', message: 'refused', code: 'ECONNREFUSED' }],
        },
      },
    });
    expect(JSON.stringify(line)).not.toContain('secret');
    Logger.overrideLogger(new ConsoleLogger({ json: true, flattenParams: true }));
    expect(JSON.parse(printed(say))).toMatchObject({ message: 'It failed: not sent', handler: 'mails', attempt: 2 });
  });

  it('is merged with its text by nestjs-pino', () => {
    const pino = new PinoLike();
    Logger.overrideLogger(pino);
    say();
    log.warn('text alone');
    expect(pino.lines).toEqual([
      {
        level: 'error',
        context: 'Spark',
        msg: 'It failed: not sent',
        handler: 'mails',
        attempt: 2,
        error: expect.objectContaining({ message: 'not sent' }),
      },
      { level: 'warn', context: 'Spark', msg: 'text alone' },
    ]);
  });

  it('has its text first for any other logger, and a context for one that takes the second argument for it', () => {
    const lines: string[] = [];
    const write = (message: string, context?: unknown) => void lines.push(`[${String(context)}] ${message}`);
    Logger.overrideLogger({ log: write, warn: write, error: write });
    say();
    expect(lines).toEqual(['[Spark] It failed: not sent']);
  });
});

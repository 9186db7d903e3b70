import { ConsoleLogger, Logger, type LoggerService } from '@nestjs/common';
import { fieldsOf } from '../error/text-of.js';

/**
 * What a line is about, for machines: names, keys, ids, counts and times, never contexts or metadata. `error` is a thrown value; it becomes
 * an object with its message, code, stack and causes.
 */
export type LogFields = Readonly<Record<string, unknown>>;

type Level = 'debug' | 'log' | 'warn' | 'error';

/**
 * The log of Spark: text for people, and an object for machines. The object goes where the application's logger shows it as fields. Nest's
 * console logger in text mode does not get it, because it would print it behind the text.
 */
export class SparkLog {
  private readonly logger: Required<Pick<LoggerService, Level>> = new Logger('Spark');

  debug(message: string, fields?: LogFields): void {
    this.write('debug', message, fields);
  }

  log(message: string, fields?: LogFields): void {
    this.write('log', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.write('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.write('error', message, fields);
  }

  private write(level: Level, message: string, given: LogFields = {}): void {
    const form = Object.keys(given).length === 0 ? 'text' : formOf(applicationLogger());
    if (form === 'text') return this.logger[level](message);
    const fields = 'error' in given ? { ...given, error: fieldsOf(given.error) } : { ...given };
    if (form === 'fields first') return this.logger[level](fields, message);
    // A logger that takes its second argument for the context prints it as text.
    Object.defineProperty(fields, 'toString', { value: () => 'Spark' });
    this.logger[level](message, fields);
  }
}

/** The logger of the application. Nest has no public way to it. If Nest calls it otherwise one day, the fields come after the text. */
const applicationLogger = (): LoggerService | undefined =>
  (Logger as unknown as { staticInstanceRef?: LoggerService }).staticInstanceRef;

/** How a logger takes text and fields. */
function formOf(logger: LoggerService | undefined): 'text' | 'fields first' | 'text first' {
  if (logger instanceof Logger) return 'text';
  if (logger instanceof ConsoleLogger)
    return (logger as unknown as { options: { json?: boolean } }).options.json ? 'text first' : 'text';
  return isOfPino(logger) ? 'fields first' : 'text first';
}

/** Whether this is the Logger of nestjs-pino: it merges an object that comes first, and drops one that follows a text. */
const isOfPino = (logger: object | undefined): boolean =>
  logger !== undefined && 'isWrongExceptionsHandlerContract' in logger;

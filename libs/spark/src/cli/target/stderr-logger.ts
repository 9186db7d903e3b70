import { Logger, type LoggerService } from '@nestjs/common';
import type { Output } from '../output/output.js';

/** The log lines of the application, on stderr: warnings and errors alone. */
export function stderrLogger(output: Output): LoggerService {
  const write =
    (level: string) =>
    (message: unknown, ...rest: unknown[]) => {
      const context = rest.findLast((part) => typeof part === 'string');
      const text = message instanceof Error ? message.message : String(message);
      output.note(`${level}${context === undefined ? '' : ` [${context.split('\n', 1)[0]}]`} ${text}`);
    };
  const silent = () => undefined;
  return {
    log: silent,
    debug: silent,
    verbose: silent,
    warn: write('WARN'),
    error: write('ERROR'),
    fatal: write('FATAL'),
  };
}

/** Sends what the application prints by `console` to stderr, so that stdout has the data of the command alone. */
export function redirectConsole(): void {
  for (const name of ['log', 'info', 'debug', 'dir', 'table'] as const) console[name] = console.error.bind(console);
}

/** Sends what Spark logs to stderr, where no application is booted with {@link stderrLogger}. */
export const redirectLogs = (output: Output): void => Logger.overrideLogger(stderrLogger(output));

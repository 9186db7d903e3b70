import { CommanderError } from 'commander';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { IncompleteTablesError } from '../error/incomplete-tables.error.js';
import { MissingTablesError } from '../error/missing-tables.error.js';
import { NoSourceError } from '../error/no-source.error.js';
import { OlderTablesError } from '../error/older-tables.error.js';
import { SparkError } from '../error/spark.error.js';
import { lineOf } from '../error/text-of.js';
import { UnknownEntityError } from '../error/unknown-entity.error.js';
import { UnknownHistoryError } from '../error/unknown-history.error.js';
import { CommandError } from './command.error.js';
import { EXIT } from './exit-codes.js';

/** How a command that threw ends. */
export interface Failure {
  readonly exitCode: number;
  /** What is said on stderr; undefined if it was said already. */
  readonly message: string | undefined;
  /** Whether the error may come from a fault in the application's code, so that its stack helps. */
  readonly isUnexpected: boolean;
}

const MISUSES = [InvalidOptionsError, UnknownEntityError, NoSourceError, UnknownHistoryError];
const OF_TABLES = [MissingTablesError, OlderTablesError, IncompleteTablesError];

/** Turns what a command threw into words and an exit code. */
export function failureOf(thrown: unknown): Failure {
  // Commander has printed its message, or the help.
  if (thrown instanceof CommanderError)
    return { exitCode: thrown.exitCode === 0 ? EXIT.done : EXIT.misused, message: undefined, isUnexpected: false };
  if (thrown instanceof CommandError) {
    const { exitCode, message, cause } = thrown;
    return { exitCode, message, isUnexpected: cause !== undefined && exitCode === EXIT.failed };
  }
  if (!(thrown instanceof SparkError)) return { exitCode: EXIT.failed, message: lineOf(thrown), isUnexpected: true };
  const hint = OF_TABLES.some((type) => thrown instanceof type) ? ' Or run: spark migrate up' : '';
  const isMisuse = MISUSES.some((type) => thrown instanceof type);
  return {
    exitCode: isMisuse ? EXIT.misused : EXIT.failed,
    message: thrown.message + hint,
    isUnexpected: false,
  };
}

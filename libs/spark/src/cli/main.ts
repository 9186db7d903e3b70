#!/usr/bin/env node
import { linesOf } from '../error/text-of.js';
import { EXIT } from './exit-codes.js';
import { failureOf } from './failure.js';
import { printableLines } from './output/safe-text.js';
import { createProgram } from './program.js';

/** How long timers and connections of the application may keep the process alive after the command, in milliseconds. */
const LINGER = 500;

// `spark events list | head` closes the pipe early.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT.done : EXIT.failed);
});

try {
  await createProgram().parseAsync();
} catch (thrown) {
  const { exitCode, message, isUnexpected } = failureOf(thrown);
  process.exitCode = exitCode;
  const hasStack = process.argv.includes('--stack');
  if (message !== undefined) process.stderr.write(`${printableLines(message)}\n`);
  if (hasStack) process.stderr.write(`${linesOf(thrown)}\n`);
  else if (isUnexpected) process.stderr.write('Add --stack to see where it was thrown.\n');
}
setTimeout(() => process.exit(), LINGER).unref();

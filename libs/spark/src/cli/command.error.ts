import { type EndingSignal, EXIT, SIGNALLED } from './exit-codes.js';

/** A command that ends without a result. Its message is for the person at the terminal, without a stack. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly exitCode: number = EXIT.failed,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The call is wrong: an option, an argument or a file. Nothing was changed. */
export class MisuseError extends CommandError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT.misused, options);
  }
}

/** A signal has ended the command. */
export class InterruptedError extends CommandError {
  constructor(signal: EndingSignal) {
    super('Interrupted.', SIGNALLED[signal]);
  }
}

import { SparkError } from './spark.error.js';

/** `replay` was asked to leave out what a handler has had, and the deliveries that would tell are not kept. Nothing was opened. */
export class UnknownHistoryError extends SparkError {
  constructor(handler: string, kept: Date | undefined) {
    super(
      `SparkService.replay cannot tell which events ${handler} has had: its finished deliveries are ` +
        (kept
          ? `kept since ${kept.toISOString()} only, by \`retention\`. Pass a later \`since\`, or \`repeat: true\` to deliver all again.`
          : `not kept, by \`history: false\`. Pass \`repeat: true\` to deliver all events again; \`since\` and \`group\` say which.`),
    );
  }
}

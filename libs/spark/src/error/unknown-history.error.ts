import { SparkError } from './spark.error.js';

/**
 * `replay` cannot leave out the events that a handler has had: the deliveries that show this are not kept. It has opened no delivery.
 */
export class UnknownHistoryError extends SparkError {
  constructor(handler: string, kept: Date | undefined) {
    super(
      `SparkService.replay cannot find out which events ${handler} has had: ` +
        (kept
          ? `\`retention\` keeps its finished deliveries since ${kept.toISOString()} only. Pass a later \`since\`, or \`repeat: true\` to deliver all events again.`
          : `\`history: false\` keeps no finished deliveries. Pass \`repeat: true\` to deliver all events again, and \`since\` or \`group\` to limit them.`),
    );
  }
}

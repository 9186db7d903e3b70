import { SparkError } from './spark.error.js';

/** A relay would send by a transport that does not acknowledge, so that events could be lost without a word. */
export class AtMostOnceError extends SparkError {
  /**
   * @param relay the name of its class
   * @param client the class of its ClientProxy
   * @param why what the transport does not promise, and what to send by instead
   */
  constructor(relay: string, client: string, why: string) {
    super(
      `${relay} would lose events: it sends by ${client}. ${why}. If events may be lost, write atMostOnce: true in its options.`,
    );
  }
}

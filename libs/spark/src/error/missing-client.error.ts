import { SparkError } from './spark.error.js';

/** A relay sends by a ClientProxy that its module does not have. */
export class MissingClientError extends SparkError {
  /**
   * @param relay the name of its class
   * @param client the token, as text
   */
  constructor(relay: string, client: string) {
    super(
      `${relay} sends by the client ${client}, but its module has no such provider. Import ClientsModule.register([{ name: ${client}, … }]) in ` +
        `the module that lists ${relay}, or let the module that has it export it. With SparkRelayModule.forFeature, name that module as its second argument.`,
    );
  }
}

import { shown } from './text-of.js';
import { SparkError } from './spark.error.js';

/** Interceptors round a source took too long, besides what the source took itself. The source is run again for its entities. */
export class InterceptorTimeoutError extends SparkError {
  constructor(source: string, limit: number) {
    super(
      `aroundSource of an interceptor round ${shown(source)} has not gone on within ${limit} ms, the timeout of the source. ` +
        `Does it wait for something that does not answer?`,
    );
  }
}

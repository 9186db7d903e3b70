import { SparkError } from './spark.error.js';

/** A handler read `scope.manager`, and the handler is not transactional. */
export class NotTransactionalError extends SparkError {
  constructor(handler: string) {
    super(`${handler} has no scope.manager: it is not transactional. Set transactional: true on @GroupHandler.`);
  }
}

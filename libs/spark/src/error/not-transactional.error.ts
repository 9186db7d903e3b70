import { SparkError } from './spark.error.js';

/** A handler asked for `scope.manager` without being transactional. */
export class NotTransactionalError extends SparkError {
  constructor(handler: string) {
    super(`${handler} has no scope.manager: it is not transactional. Set transactional: true on @GroupHandler.`);
  }
}

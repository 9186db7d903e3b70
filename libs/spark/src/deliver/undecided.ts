import { SparkError } from '../error/spark.error.js';

/** Thrown where this process cannot decide on a delivery. It is given back, and its attempt does not count. */
export abstract class Undecided extends SparkError {}

/** What the delivery needs is not in this process: an entity class, a source, a handler. Others may have it. */
export class NotKnownHere extends Undecided {
  constructor(
    readonly kind: 'entity' | 'source' | 'handler',
    readonly missing: string,
  ) {
    super(`this process has no ${kind} ${missing}`);
  }
}

/** The database does not answer, or says that statements collided. Nobody is to blame, and nobody is charged. */
export class DatabaseAway extends Undecided {}

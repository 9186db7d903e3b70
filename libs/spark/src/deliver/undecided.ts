import { SparkError } from '../error/spark.error.js';

/** Thrown if this process cannot decide on a delivery. The delivery is given back, and its attempt does not count. */
export abstract class Undecided extends SparkError {}

/** This process lacks what the delivery needs: an entity class, a source, a handler, or a version of a definition. Other processes may have it. */
export class NotKnownHere extends Undecided {
  constructor(
    readonly kind: 'entity' | 'source' | 'handler' | 'version',
    readonly missing: string,
  ) {
    super(`this process has no ${kind} ${missing}`);
  }
}

/** It is not known yet since when the event holds. */
export class NotKnownYet extends Undecided {
  constructor() {
    super('it is not known yet since when its source yields it');
  }
}

/** The database does not answer, or reports that statements collided. The delivery is not at fault, so the attempt does not count. */
export class DatabaseAway extends Undecided {}

import { SparkError } from './spark.error.js';

/** Two entity classes map one table with different primary keys, and one of them has a source. Thrown at boot. */
export class DuplicateEntityError extends SparkError {
  constructor(method: string, entity: string, other: string, table: string) {
    super(
      `${method} is an event source of ${entity}, and ${other} maps the same table (${table}) with another primary key. Spark would ` +
        `miss what is saved through ${other}. Give both classes the same primary columns, or remove one of them.`,
    );
  }
}

import { SparkError } from './spark.error.js';

/** An event source of an entity that is not part of a DataSource. Thrown at boot. */
export class UnknownEntityError extends SparkError {
  constructor(method: string, entity: string) {
    super(
      `${method} is an event source of ${entity}, which no DataSource with a SparkModule knows. Add it to ` +
        `TypeOrmModule.forFeature([${entity}]) with autoLoadEntities, or to the entities of the DataSource.`,
    );
  }
}

import { SparkError } from './spark.error.js';

/** An entity that is not part of a DataSource: of an event source, at boot, or one that a method was given. */
export class UnknownEntityError extends SparkError {
  /** @param what the words for what the entity is to */
  constructor(what: string, entity: string) {
    super(
      `${what} ${entity}, which no DataSource with a SparkModule knows. Add it to ` +
        `TypeOrmModule.forFeature([${entity}]) with autoLoadEntities, or to the entities of the DataSource.`,
    );
  }
}

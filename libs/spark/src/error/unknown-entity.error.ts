import { SparkError } from './spark.error.js';

/** An entity belongs to no DataSource. Thrown at boot for the entity of an event source, and by methods of SparkService. */
export class UnknownEntityError extends SparkError {
  /** @param what the beginning of the sentence, up to the name of the entity */
  constructor(what: string, entity: string) {
    super(
      `${what} ${entity}, which belongs to no DataSource with a SparkModule. Add it to ` +
        `TypeOrmModule.forFeature([${entity}]) with autoLoadEntities, or to the entities of the DataSource.`,
    );
  }
}

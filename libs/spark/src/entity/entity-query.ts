import type {
  EntityMetadata,
  FindOptionsRelations,
  FindOptionsWhere,
  ObjectLiteral,
  SelectQueryBuilder,
} from 'typeorm';

/** Which entities a source is about, and what is loaded with them: the part of a source that reading needs. */
export interface EntityQuery {
  readonly metadata: EntityMetadata;
  readonly options: {
    readonly relations?: FindOptionsRelations<ObjectLiteral>;
    readonly where?: FindOptionsWhere<ObjectLiteral> | FindOptionsWhere<ObjectLiteral>[];
    readonly withDeleted?: boolean;
    readonly query?: (qb: SelectQueryBuilder<ObjectLiteral>) => SelectQueryBuilder<ObjectLiteral>;
  };
}

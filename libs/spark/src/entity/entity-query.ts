import type {
  EntityMetadata,
  FindOptionsRelations,
  FindOptionsWhere,
  ObjectLiteral,
  SelectQueryBuilder,
} from 'typeorm';

/** Which entities are read, and with what: a source, as far as reading is concerned. */
export interface EntityQuery {
  readonly metadata: EntityMetadata;
  readonly options: {
    readonly relations?: FindOptionsRelations<ObjectLiteral>;
    readonly where?: FindOptionsWhere<ObjectLiteral> | FindOptionsWhere<ObjectLiteral>[];
    readonly withDeleted?: boolean;
    readonly query?: (qb: SelectQueryBuilder<ObjectLiteral>) => SelectQueryBuilder<ObjectLiteral>;
  };
}

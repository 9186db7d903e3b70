import type { DataSource } from 'typeorm';
export function serializeSqlite(_d: DataSource, _o: { lockTimeout: number }): void {}

import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What several processes write at once. */
@Entity()
export class Row {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

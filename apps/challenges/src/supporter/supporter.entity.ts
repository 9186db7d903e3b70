import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { EPOCH_MS } from '../epoch-ms.js';

/** Somebody who supports all challenges, and gets a badge for it. */
@Entity()
export class Supporter {
  @PrimaryGeneratedColumn()
  id: number;

  @Column({ length: 200 })
  name: string;

  @Column()
  mail: string;

  @Column(EPOCH_MS)
  joined: Date;
}

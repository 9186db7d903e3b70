import {
  Column,
  Entity,
  JoinColumn,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';

/** Saved again and again; each state that was committed has a row in the raw table `trail`. */
@Entity()
export class Item {
  @PrimaryGeneratedColumn() id: number;
  /** A number of its own for each state. */
  @Column({ type: 'bigint' }) version: string;
  /** When its future event comes true, in epoch ms. */
  @Column({ name: 'due_at', type: 'bigint' }) dueAt: string;
  /** Set by criteria, never taken back. */
  @Column({ type: 'int' }) flag: number;
}

@Entity()
export class Family {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'int' }) founder: number;
  @OneToMany(() => Child, (child) => child.family) children: Relation<Child>[];
}

@Entity()
export class Child {
  @PrimaryGeneratedColumn() id: number;
  @Column({ name: 'family_id', type: 'int' }) familyId: number;
  @ManyToOne(() => Family, (family) => family.children)
  @JoinColumn({ name: 'family_id' })
  family: Relation<Family>;
}

/** Written by raw SQL only, as another program would: the sweep finds it. */
@Entity()
export class Outside {
  @PrimaryColumn({ type: 'bigint' }) id: string;
}

/** What a transactional handler writes. */
@Entity()
export class Effect {
  @PrimaryGeneratedColumn() id: number;
  @Column({ name: 'event_key', length: 100 }) eventKey: string;
}

/** Only the next version knows it. */
@Entity()
export class Badge {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'int' }) giver: number;
}

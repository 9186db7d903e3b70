import {
  Column,
  Entity,
  JoinColumn,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type EntityTarget,
  type Relation,
} from 'typeorm';
import type { Version } from '../faults.js';

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

/** The same tables by the names that the next version gives their classes. */
@Entity('family')
export class Clan {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'int' }) founder: number;
  @OneToMany(() => Member, (member) => member.clan) children: Relation<Member>[];
}

@Entity('child')
export class Member {
  @PrimaryGeneratedColumn() id: number;
  @Column({ name: 'family_id', type: 'int' }) familyId: number;
  @ManyToOne(() => Clan, (clan) => clan.children)
  @JoinColumn({ name: 'family_id' })
  clan: Relation<Clan>;
}

/** How a version calls a family and its children. */
export const FAMILY: Record<Version, { family: EntityTarget<Family | Clan>; child: EntityTarget<Child | Member> }> = {
  former: { family: Family, child: Child },
  next: { family: Clan, child: Member },
};

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

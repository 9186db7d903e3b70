import { Column, Entity, PrimaryColumn } from 'typeorm';

// Its columns have types for loaders that leave out the metadata of decorators.
@Entity('shop_order')
export class Order {
  @PrimaryColumn({ type: 'int' }) id: number;
  @Column({ type: 'varchar' }) mail: string;
}

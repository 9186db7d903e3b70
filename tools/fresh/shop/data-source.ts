import { DataSource } from 'typeorm';
import { database } from './database.js';
import { Order } from './order.entity.js';

export const dataSource = new DataSource({ ...database(), entities: [Order] });

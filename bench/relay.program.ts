import 'reflect-metadata';
import { relays } from './peers/relays.js';
import { workOff } from './working-off.js';

await workOff(relays);

// Owns how `npm run migrations` turns tables.ts into SQL. Paths are from the root of the checkout.
import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'postgresql',
  schema: './schemas/database/tables.ts',
  out: './schemas/database/migrations',
})

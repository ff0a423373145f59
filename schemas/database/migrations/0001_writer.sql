-- The writer of records: a role without login that may only INSERT, into two tables.
-- Roles belong to the whole cluster: another database's migration may be creating it at the same moment.
-- One that exists is used as it is, so that an administrator can make it for a login that may not.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cedargate_pep') THEN
    CREATE ROLE "cedargate_pep" NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
--> statement-breakpoint
-- So that whoever migrates can also write as it (`cedargate dev`); a superuser can without. From PostgreSQL 16 on the
-- maker of a role is its administrator, but may not act as it until granted. Who may not grant it was given it, or not.
DO $$ BEGIN
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    GRANT "cedargate_pep" TO CURRENT_USER;
  END IF;
EXCEPTION WHEN insufficient_privilege OR unique_violation OR internal_error THEN NULL;
END $$;
--> statement-breakpoint
GRANT USAGE ON SCHEMA "public" TO "cedargate_pep";
--> statement-breakpoint
REVOKE ALL ON "record", "record_detail", "pending", "subject_key", "users", "grants", "peps", "bundle" FROM PUBLIC, "cedargate_pep";
--> statement-breakpoint
GRANT INSERT ON "record", "record_detail" TO "cedargate_pep";
--> statement-breakpoint
-- Ciphertext does not compress.
ALTER TABLE "record_detail" ALTER COLUMN "ct" SET STORAGE EXTERNAL;
--> statement-breakpoint
-- Queues exactly the rows that were inserted: a row that a retry found in place is not among them.
CREATE FUNCTION "queue_records"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO public.pending (id, leaf_hash) SELECT id, leaf_hash FROM added;
  RETURN NULL;
END $$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION "queue_records"() FROM PUBLIC;
--> statement-breakpoint
CREATE TRIGGER "record_queued" AFTER INSERT ON "record"
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION "queue_records"();

CREATE TABLE "credentials" (
	"id" uuid PRIMARY KEY NOT NULL,
	"server" text NOT NULL,
	"user_id" text,
	"use" text NOT NULL,
	"kind" text NOT NULL,
	"names" text[] DEFAULT '{}' NOT NULL,
	"version" bigint NOT NULL,
	"sealed" text NOT NULL,
	"data_key" text NOT NULL,
	"kek" text NOT NULL,
	"issuer" text,
	"scopes" text[],
	"created" timestamp with time zone NOT NULL,
	"updated" timestamp with time zone NOT NULL,
	"expires" timestamp with time zone,
	"reconnect" text,
	"refused" timestamp with time zone,
	"retry_after" timestamp with time zone,
	"lease_by" uuid,
	"lease_until" timestamp with time zone,
	"last_used" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "credentials" ADD CONSTRAINT "credentials_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "credentials_owner" ON "credentials" USING btree ("server",coalesce(user_id, ''),"use");--> statement-breakpoint
CREATE INDEX "credentials_user" ON "credentials" USING btree ("user_id") WHERE user_id is not null;--> statement-breakpoint
CREATE INDEX "credentials_kek" ON "credentials" USING btree ("kek");
--> statement-breakpoint
-- The writer of records has no business here.
REVOKE ALL ON "credentials" FROM PUBLIC, "cedargate_pep";
--> statement-breakpoint
-- As with grants (0004_identity.sql), but a new one is told too: that there is none is remembered. Re-wrapping, leases and
-- last use change nothing of a secret.
CREATE FUNCTION "note_credential_change"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO public.identity_change (kind, id) VALUES ('credential', OLD.server || '|' || coalesce(OLD.user_id, ''));
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO public.identity_change (kind, id) VALUES ('credential', NEW.server || '|' || coalesce(NEW.user_id, ''));
  END IF;
  PERFORM pg_notify('cedargate_identity', '');
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER "credentials_changed"
AFTER INSERT OR DELETE OR UPDATE OF "id", "server", "user_id", "use", "kind", "names", "version", "sealed", "expires", "reconnect", "refused" ON "credentials"
FOR EACH ROW EXECUTE FUNCTION "note_credential_change"();
--> statement-breakpoint
CREATE TRIGGER "credentials_emptied" AFTER TRUNCATE ON "credentials" FOR EACH STATEMENT EXECUTE FUNCTION "note_identity_change"();

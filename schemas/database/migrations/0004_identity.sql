CREATE TABLE "agents" (
	"id" text PRIMARY KEY NOT NULL,
	"scopes" text[] DEFAULT '{"mcp:read","mcp:write","mcp:destructive","mcp:ask"}' NOT NULL,
	"created" timestamp with time zone NOT NULL,
	"disabled" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "bootstrap" (
	"only" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"token_sha256" text NOT NULL,
	"expires" timestamp with time zone NOT NULL,
	"used" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "identity_change" (
	"tx" "xid8" DEFAULT pg_current_xact_id() NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"kind" text NOT NULL,
	"id" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "login_sessions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" text NOT NULL,
	"token_sha256" text NOT NULL,
	"roles" text[] NOT NULL,
	"created" timestamp with time zone NOT NULL,
	"expires" timestamp with time zone NOT NULL,
	"revoked" timestamp with time zone,
	"last_source" text,
	CONSTRAINT "login_sessions_token" UNIQUE("token_sha256")
);
--> statement-breakpoint
CREATE TABLE "used_id_token" (
	"sha256" text PRIMARY KEY NOT NULL,
	"expires" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "grants" ALTER COLUMN "token_sha256" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "grants" ALTER COLUMN "token_last4" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "grants" ALTER COLUMN "user_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "grants" ADD COLUMN "scopes" text[] DEFAULT '{"mcp:read","mcp:write","mcp:destructive","mcp:ask"}' NOT NULL;--> statement-breakpoint
ALTER TABLE "grants" ADD COLUMN "issuer" text;--> statement-breakpoint
ALTER TABLE "grants" ADD COLUMN "subject" text;--> statement-breakpoint
ALTER TABLE "grants" ADD COLUMN "client" text;--> statement-breakpoint
ALTER TABLE "grants" ADD COLUMN "last_used" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "grants" ADD COLUMN "last_source" text;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "issuer" text;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "subject" text;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "vouched" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "claim_teams" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "claims_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "scopes" text[] DEFAULT '{"mcp:read","mcp:write","mcp:destructive","mcp:ask"}' NOT NULL;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "roles" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "offboarded" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "login_sessions" ADD CONSTRAINT "login_sessions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "identity_change_tx" ON "identity_change" USING btree ("tx");--> statement-breakpoint
CREATE INDEX "login_sessions_user" ON "login_sessions" USING btree ("user_id");--> statement-breakpoint
INSERT INTO "agents" ("id", "created") SELECT "agent", min("created") FROM "grants" GROUP BY "agent";--> statement-breakpoint
ALTER TABLE "grants" ADD CONSTRAINT "grants_agent_agents_id_fk" FOREIGN KEY ("agent") REFERENCES "public"."agents"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "grants_user" ON "grants" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "grants_agent" ON "grants" USING btree ("agent");--> statement-breakpoint
CREATE UNIQUE INDEX "grants_client" ON "grants" USING btree ("issuer","subject","client") WHERE issuer is not null and revoked is null;--> statement-breakpoint
ALTER TABLE "users" ADD CONSTRAINT "users_subject" UNIQUE("issuer","subject");
--> statement-breakpoint
-- The writer of records has no business here.
REVOKE ALL ON "agents", "bootstrap", "identity_change", "login_sessions", "used_id_token" FROM PUBLIC, "cedargate_pep";
--> statement-breakpoint
-- Whatever takes something away from somebody is told by the transaction that does it, whoever runs it. The notification
-- says nothing: whoever hears it looks for itself.
CREATE FUNCTION "note_identity_change"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO public.identity_change (kind, id) VALUES ('all', '');
  ELSE
    INSERT INTO public.identity_change (kind, id) VALUES (TG_ARGV[0], OLD.id::text);
  END IF;
  PERFORM pg_notify('cedargate_identity', '');
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER "grants_changed" AFTER UPDATE OF "id", "token_sha256", "user_id", "agent", "servers", "scopes", "expires", "revoked", "issuer", "subject", "client" ON "grants"
FOR EACH ROW EXECUTE FUNCTION "note_identity_change"('grant');
--> statement-breakpoint
CREATE TRIGGER "grants_deleted" AFTER DELETE ON "grants" FOR EACH ROW EXECUTE FUNCTION "note_identity_change"('grant');
--> statement-breakpoint
-- Claims that are newer and say the same (`claims_at`) take nothing from anybody; roles are looked up at every request.
CREATE TRIGGER "users_changed" AFTER UPDATE ON "users"
FOR EACH ROW WHEN ((OLD.id, OLD.teams, OLD.claim_teams, OLD.issuer, OLD.subject, OLD.scopes, OLD.offboarded)
  IS DISTINCT FROM (NEW.id, NEW.teams, NEW.claim_teams, NEW.issuer, NEW.subject, NEW.scopes, NEW.offboarded))
EXECUTE FUNCTION "note_identity_change"('user');
--> statement-breakpoint
CREATE TRIGGER "users_deleted" AFTER DELETE ON "users" FOR EACH ROW EXECUTE FUNCTION "note_identity_change"('user');
--> statement-breakpoint
CREATE TRIGGER "agents_changed" AFTER UPDATE OR DELETE ON "agents" FOR EACH ROW EXECUTE FUNCTION "note_identity_change"('agent');
--> statement-breakpoint
CREATE TRIGGER "peps_changed" AFTER UPDATE OR DELETE ON "peps" FOR EACH ROW EXECUTE FUNCTION "note_identity_change"('pep');
--> statement-breakpoint
CREATE TRIGGER "login_sessions_changed" AFTER UPDATE OF "revoked" OR DELETE ON "login_sessions"
FOR EACH ROW EXECUTE FUNCTION "note_identity_change"('session');
--> statement-breakpoint
CREATE TRIGGER "grants_emptied" AFTER TRUNCATE ON "grants" FOR EACH STATEMENT EXECUTE FUNCTION "note_identity_change"();
--> statement-breakpoint
CREATE TRIGGER "users_emptied" AFTER TRUNCATE ON "users" FOR EACH STATEMENT EXECUTE FUNCTION "note_identity_change"();
--> statement-breakpoint
CREATE TRIGGER "agents_emptied" AFTER TRUNCATE ON "agents" FOR EACH STATEMENT EXECUTE FUNCTION "note_identity_change"();
--> statement-breakpoint
CREATE TRIGGER "peps_emptied" AFTER TRUNCATE ON "peps" FOR EACH STATEMENT EXECUTE FUNCTION "note_identity_change"();
--> statement-breakpoint
CREATE TRIGGER "login_sessions_emptied" AFTER TRUNCATE ON "login_sessions" FOR EACH STATEMENT EXECUTE FUNCTION "note_identity_change"();

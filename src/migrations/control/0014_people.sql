-- 0014_people
do $$ begin end $$;
